-- One row per member whom the export :number took out: who it was for the platforms is not needed any more.
update delivery.audience_members
set email_meta = null,
    email_google = null,
    phone_meta = null,
    phone_google = null
where campaign = :campaign and step = :step and removed_in = :number
returning customer_id
