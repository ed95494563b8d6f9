-- The e-mail address of customer c as it is compared.
lower(trim(c.email))
