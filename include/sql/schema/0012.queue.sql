-- The queue of due messages is read page by page: its order is total, so that a page has an end to go on from.
drop index delivery.messages_due;
create index messages_due on delivery.messages (due_at, message_key) where state = 'planned';
