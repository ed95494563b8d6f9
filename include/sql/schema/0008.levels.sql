-- Sorts of customers of a campaign, with offers, words and steps of their own.

alter table campaigns.enrolments
add column level text; -- which of the campaign's levels the customer was on at entry, in either arm
