-- Numbers the rows of a file while COPY writes them; cached, for it is used by one session in one transaction.
create sequence {{ sequence }} cache 10000
