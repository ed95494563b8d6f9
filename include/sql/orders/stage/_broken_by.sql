-- The rule that an instant breaks. Inside a with told, an expression, and future, the rule's name if it lies ahead.
case
    when {{ told }} is null then 'without_a_time'
    when {{ told }} > newest_at then '{{ future }}'
    else 'too_long_ago'
end
