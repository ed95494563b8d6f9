-- True of a landed row of a customer who was erased: of :ref, or of anybody.
(cast(:ref as text) is null or ({{ customer_ref }}) = cast(:ref as text))
and (cast(:load_key as text) is null or landed.load_key = :load_key)
and sha256(cast(:outer_pad as bytea) || sha256(cast(:inner_pad as bytea) || convert_to(
    concat_ws(chr(31), 'erased', 'customer', cast(:namespace as text), ({{ customer_ref }})), 'UTF8'
))) in (select e.digest from shop.erased as e)
