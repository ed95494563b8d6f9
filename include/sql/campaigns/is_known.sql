-- Whether the campaign ever did, or began, anything.
select exists (
    select from shop.days as d where d.stage = 'campaigns' and split_part(d.part, ':', 1) = :campaign
) or exists (select from campaigns.versions as v where v.campaign = :campaign) as is_known
