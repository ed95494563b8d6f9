-- Rejected rows of these sources that quote the customer keep their rule only.
update landing.rejections as r
set value = null, row_text = null
from landing.loads as l
where l.load_id = r.load_id
    and l.source = any(cast(:sources as text[]))
    and (
        r.value = any(cast(:words as text[]))
        or exists (
            select from jsonb_path_query(r.row_text, 'lax $.**') as v (word)
            where v.word #>> '{}' = any(cast(:words as text[]))
        )
        or exists (
            select from unnest(cast(:addresses as text[])) as u (address)
            where position(lower(u.address) in lower(concat_ws(' ', r.value, cast(r.row_text as text)))) > 0
        )
    )
