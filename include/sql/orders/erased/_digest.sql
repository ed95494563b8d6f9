-- The digest under which an address stands in shop.erased: HMAC-SHA256 by the secret's two pads, so that the secret itself
-- never reaches the database. Inside a with kind = "...", value = "...": a word, and an expression.
sha256(cast(:outer_pad as bytea) || sha256(cast(:inner_pad as bytea) || convert_to(
    concat_ws(chr(31), 'erased', '{{ kind }}', {{ value }}), 'UTF8'
)))
