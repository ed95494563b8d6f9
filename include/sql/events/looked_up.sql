-- The provider had nothing to show for this message at :now. That is no proof: it stays unknown.
update delivery.messages as m
set looked_up_at = :now
where m.customer_id = :customer_id and m.message_key = :message_key and m.state = 'unknown'
returning m.customer_id
