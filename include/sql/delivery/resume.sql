-- Lifts one halt; none there is none lifted.
delete from delivery.halts
where kind = :kind and name = :name
