-- Everybody who may be sent e-mail at all; every campaign filters by it (A12, B2). That is whoever agreed to marketing
-- by e-mail, or bought and did not object where the law of their country takes that for enough, has no suppression, has an address that can exist, is the oldest profile with that address, and is not
-- inactive: for {{ inactive_days }} days we looked and saw no open, click or visit.
-- A suppression of one profile holds for all with the same address: it is one person's mailbox.
-- refresh: full
with profiles as (
    select
        c.customer_id,
        c.email,
        c.country,
        lower(c.email) as mailbox,
        c.registered_at,
        exists (
            select from suppressions as s
            where s.customer_id = c.customer_id
                and s.channel in ('email', 'all')
                and s.known_at <= {{ known_by }}
                and (s.lifted_at is null or s.lifted_at > {{ known_by }})
        ) as is_suppressed
    from customers as c
    where c.email is not null
),

mailboxes as (
    select
        p.customer_id,
        p.email,
        p.country,
        row_number() over (partition by p.mailbox order by p.registered_at nulls last, p.customer_id) as profile_no,
        bool_or(p.is_suppressed) over (partition by p.mailbox) as is_suppressed
    from profiles as p
)

select m.customer_id
from mailboxes as m
where m.profile_no = 1
    and not m.is_suppressed
    and length(m.email) <= 254
    and m.email ~ '^[^@[:space:]<>(),;:"\\]+@([^@[:space:]<>(),;:"\\._]+\.)+[^@[:space:]<>(),;:"\\._0-9-]+$'
    -- Counted here, since a pattern that counts to 64 takes ten times as long.
    and position('@' in m.email) <= 65
    and length(split_part(m.email, '.', -1)) between 2 and 63
    and m.email !~ '(^\.|\.\.|\.@|@-|-\.|\.-)'
    and exists (
        select from consents as a
        where a.customer_id = m.customer_id
            and a.purpose = 'marketing'
            and a.channel = 'email'
            and a.is_granted
            and (
                a.basis = 'consent'
                or (
                    exists (
                        select from customer_stats as b
                        where b.customer_id = m.customer_id and b.complete_orders > 0
                    )
                    and exists (
                        select from law as r
                        where r.country = m.country
                            and r.channel = 'email'
                            and r.basis = 'soft_opt_in'
                            and r.valid_from <= {{ day }}
                            and r.valid_until > {{ day }}
                    )
                )
            )
    )
    and not exists (
        select from engagement as e
        where e.customer_id = m.customer_id
            and e.known_at <= {{ known_by }}
            and {{ between_days('e.tracked_since', before=inactive_days) }}
            and (e.last_engaged_on is null or {{ between_days('e.last_engaged_on', before=inactive_days) }})
    )
