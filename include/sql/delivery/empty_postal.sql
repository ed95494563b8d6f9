-- One row per card that the export :number printed: deleted, the ledger knows that it went out.
delete from delivery.cards
where campaign = :campaign and step = :step and exported_in = :number
returning customer_id
