-- One row per landed feed of a day or a history.
select
    l.load_id,
    l.source,
    l.feed,
    l.load_key,
    l.files,
    l.landed,
    l.accepted,
    l.rejected,
    l.landed_at
from landing.loads as l
where l.load_key = :load_key
    and (cast(:source as text) is null or l.source = :source)
order by l.source, l.feed
