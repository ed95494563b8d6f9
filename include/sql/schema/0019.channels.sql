-- Which channels there are is said in one place, retention/channels.py, and checked wherever a name comes in: a list here
-- would be a second one.
alter table shop.consents drop constraint consents_channel_check;
alter table shop.suppressions drop constraint suppressions_channel_check;
alter table shop.rules drop constraint rules_channel_check;
alter table delivery.messages drop constraint messages_channel_check;
alter table delivery.caps drop constraint caps_channel_check;
alter table delivery.exports drop constraint exports_channel_check;
