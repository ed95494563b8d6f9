-- One row per load and suite: what Great Expectations answered. A second validation replaces the first.
insert into landing.validations (load_id, suite, success, results)
values (:load_id, :suite, :success, cast(:results as jsonb))
on conflict (load_id, suite) do update
    set success = excluded.success, results = excluded.results, validated_at = excluded.validated_at
