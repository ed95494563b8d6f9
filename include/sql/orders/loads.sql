-- One row per landed feed of a load.
select load_id, feed, files, landed, accepted, rejected
from landing.loads
where source = :source and load_key = :load_key
