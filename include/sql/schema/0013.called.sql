-- When a message was really handed over. attempted_at is the instant by which the claim decided: on the clock of the days
-- that is an instant of the day played, and the proof must not take one for the other.
alter table delivery.messages
add column called_at timestamptz; -- by the machine's clock; null: never attempted, or before this was kept
