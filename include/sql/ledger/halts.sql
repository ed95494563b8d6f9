-- name: halts
-- One row per halt in force.
select kind, name
from delivery.halts
order by kind, name;

-- name: halt
-- One row per halt, however often it is asked for.
insert into delivery.halts (kind, name)
values (:kind, :name)
on conflict (kind, name) do nothing;

-- name: resume
-- Lifts one halt; none there is none lifted.
delete from delivery.halts
where kind = :kind and name = :name;

-- name: is_campaign
-- Whether anybody was ever enrolled in :campaign: a halt of a name nobody knows would stop nothing.
select exists (select from campaigns.versions where campaign = :campaign) as is_known;

-- name: rename_halt
-- One row if the old name was halted and the new one was not: now it is.
insert into delivery.halts as h (kind, name, halted_at)
select o.kind, :new, o.halted_at
from delivery.halts as o
where o.kind = 'campaign' and o.name = :old
on conflict (kind, name) do nothing
returning h.name;

-- name: forget_halt
-- One row if the old name was halted: nothing has this name any more.
delete from delivery.halts as h
where h.kind = 'campaign' and h.name = :old
returning h.name;
