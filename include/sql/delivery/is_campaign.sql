-- Whether anybody was ever enrolled in :campaign: a halt of a name nobody knows would stop nothing.
select exists (select from campaigns.versions where campaign = :campaign) as is_known
