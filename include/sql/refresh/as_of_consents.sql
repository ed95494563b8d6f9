-- One row per customer, purpose and channel known by then, as known then.
create view {{ schema }}.consents as
select v.*
from shop.consent_versions as v
where v.known_at <= {{ known_by }} and v.superseded_at > {{ known_by }}
