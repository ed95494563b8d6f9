-- E-mails that SendGrid holds until send_at (RETENTION_EMAIL_DELAY): one row per claim and campaign says which batch they
-- are in. Until then a halt can cancel the batch.
create table delivery.batches (
    claim uuid not null,
    campaign text not null,
    batch_id text not null,
    send_at timestamptz not null, -- of the last of them
    cancelled_at timestamptz,
    primary key (claim, campaign)
);
