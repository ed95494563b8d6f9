-- The midnight in the shop's zone that ends the day of updated_at.
cast(cast(updated_at at time zone :shop_zone as date) + 1 as timestamp) at time zone :shop_zone
