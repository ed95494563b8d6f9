-- All rules go, in the transaction that writes those of the file.
delete from shop.rules
