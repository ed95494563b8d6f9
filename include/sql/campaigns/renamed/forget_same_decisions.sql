-- One row per decision under the old name on a day that has one under the new name: a customer has one a day.
delete from campaigns.decisions as d
where d.campaign = :old
    and exists (
        select from campaigns.decisions as n
        where n.customer_id = d.customer_id and n.campaign = :new and n.decided_on = d.decided_on
    )
returning d.customer_id
