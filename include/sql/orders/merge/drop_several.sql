-- Room for the next feed.
drop table if exists merge_several, merge_versions, merge_chain, merge_verdicts
