-- Campaigns whose file is missing or cannot be read, and the first names of those that were renamed.

-- One row per campaign that its file keeps from going on. The claim takes none of its messages.
create table campaigns.paused (
    campaign text primary key,
    reason text not null check (reason in ('file_missing', 'file_unreadable', 'folder_empty', 'perhaps_renamed')),
    message text not null, -- for people: what is wrong, and what to do
    since_day date, -- the newest published day when it was found so; null: no day was published
    removed_on date -- the day its enrolments were ended; null: it waits for its file
);

-- One row per campaign that was renamed. Its arms are drawn, and its exports are named, by the name it had first.
create table campaigns.first_names (
    campaign text primary key,
    first_name text not null
);

-- Two campaigns of one claim may become one.
alter table delivery.batches
drop constraint batches_pkey,
add primary key (claim, campaign, batch_id);
