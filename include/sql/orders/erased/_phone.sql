-- The number of customer c as it is compared.
regexp_replace(c.phone, '[^0-9+]', '', 'g')
