-- What the language of campaigns needs: variants, groups, conditions and fallbacks of steps.

alter table campaigns.enrolments
add column variant text, -- of a treated customer: which of the campaign's treatments they get
add column group_name text, -- nobody has two open enrolments of one group
add column unit bigint; -- what arm and variant are drawn for: the household at entry; null: the customer
create unique index enrolments_open_in_group on campaigns.enrolments (customer_id, group_name) where exited_on is null;

-- By step: its conditions and its fallback, where it has any, in the shape that the claim reads.
alter table campaigns.versions add column rules jsonb not null default '{}';

-- One message per customer, campaign, entry and step: a fallback takes its place, never stands beside it.
alter table delivery.messages
add column variant text, -- of the step
add column forecast text, -- what the conditions of the step said when it was planned: why it would be skipped
add column human_clicked_at timestamptz, -- when a person first followed a link of it
drop constraint messages_customer_id_campaign_entry_no_step_channel_key,
add unique (customer_id, campaign, entry_no, step);
