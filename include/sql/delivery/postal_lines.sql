-- One row per card that the export :number prints, sorted as the post sorts.
select
    k.recipient,
    k.street,
    k.postal_code,
    k.city,
    k.country,
    k.language,
    k.card,
    k.message_key
from delivery.cards as k
where k.campaign = :campaign and k.step = :step and k.exported_in = :number
order by k.country, k.postal_code, k.street, k.message_key
