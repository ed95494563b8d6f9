-- Enrols customers who may enter on day (see entrants). Returns how many entered, and how many of them in the control
-- arm.
-- The arm is drawn once per customer and kept at re-entry: the first 32 bits of the hash of campaign (by its first
-- name, if it was renamed) and household (or customer) below control_bound, so that a greater share only adds.
-- Households are one draw: their members talk. A variant is drawn alike, by another hash, for treated customers.
{% from "campaigns/macros.sql" import enter, entrants %}
with {{ entrants(rank) }},

{{ enter("entering") }}
