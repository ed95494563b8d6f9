-- One row per day, stage and part. A day done stays done: a late "running" or "failed" does not undo it.
insert into shop.days as d (day, stage, part, state, counts, message, definition, watermark)
values (:day, :stage, :part, :state, cast(:counts as jsonb), :message, :definition, cast(:watermark as bigint))
on conflict (day, stage, part) do update
    set state = excluded.state, counts = excluded.counts, message = excluded.message, definition = excluded.definition,
        watermark = excluded.watermark, recorded_at = excluded.recorded_at
    where d.state <> 'done' or excluded.state = 'done'
