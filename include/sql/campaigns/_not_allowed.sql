-- Why customer c must not be written to on a channel, as known at known_by: suppressed or no_consent; null where they
-- may. The one place for suppression, consent and law: whoever plans, claims or exports asks it, inside a
-- with channel = "...", which is an expression. A consent that was asked for is enough everywhere; one from a sale
-- (soft_opt_in) where the country's law knows it, of who has completed an order; none is needed where the law asks for
-- none and nobody objected. Binds known_by, zones and shop_zone.
case
    when exists (
        select from shop.suppressions as s
        where s.customer_id = c.customer_id
            and s.channel in ({{ channel }}, 'all')
            and s.known_at <= :known_by
            and (s.lifted_at is null or s.lifted_at > :known_by)
    ) then 'suppressed'
    when exists (
        select from shop.consent_versions as k
        where k.customer_id = c.customer_id
            and k.purpose = 'marketing'
            and k.channel = {{ channel }}
            and k.is_granted
            and k.known_at <= :known_by
            and k.superseded_at > :known_by
            and (
                k.basis = 'consent'
                or (
                    {% include "campaigns/_basis.sql" %} = 'soft_opt_in'
                    and exists (
                        select from shop.order_versions as o
                        where o.customer_id = c.customer_id
                            and o.status = 'complete'
                            and o.known_at <= :known_by
                            and o.superseded_at > :known_by
                    )
                )
            )
    ) then null
    when {% include "campaigns/_basis.sql" %} = 'legitimate_interest' and not exists (
        select from shop.consent_versions as k
        where k.customer_id = c.customer_id
            and k.purpose = 'marketing'
            and k.channel = {{ channel }}
            and not k.is_granted
            and k.known_at <= :known_by
            and k.superseded_at > :known_by
    ) then null
    else 'no_consent'
end
