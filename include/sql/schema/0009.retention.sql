-- What was exported is kept for a month: addresses and their hashes are personal data.
alter table delivery.exports add column deleted_at timestamptz; -- its folder is gone, and what only it needed

-- Who was taken out a month ago is in no file any more, so no hash is needed.
alter table delivery.audience_members
drop constraint audience_members_check,
add constraint audience_members_check check (removed_in is not null or num_nonnulls(email_meta, phone_meta) > 0);
