-- Caps that hold for the members of a selection.

alter table delivery.caps
add column selection text not null default '', -- empty: for everybody
add column members_on date, -- the newest day that the selection had done; null: none, or for everybody
-- Whether no newer day was published. If not, the cap takes the place of no other.
add column is_current boolean not null default true;

alter table delivery.caps drop constraint caps_pkey;
alter table delivery.caps add primary key (channel, at_most, hours, selection, in_force_from);
drop index delivery.caps_in_force;
create unique index caps_in_force on delivery.caps (channel, at_most, hours, selection) where in_force_until is null;

-- A cap of a selection gets a row a day; the proof asks which held when a message went out.
create index caps_by_time on delivery.caps using gist (tstzrange(in_force_from, in_force_until));
