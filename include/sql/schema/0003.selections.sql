-- Each selection is a table selections.<name>(customer_id), made when it is first refreshed. Beside it stands
-- selections.work_<name>: the new set while a refresh compares it with the old one, empty between refreshes.

-- Who was in which selection, and when: half-open [entered_on, left_on). Null: still in it.
create table selections.membership (
    selection text not null,
    customer_id bigint not null,
    entered_on date not null,
    left_on date,
    primary key (selection, customer_id, entered_on),
    check (left_on > entered_on)
);
create unique index membership_open on selections.membership (selection, customer_id) where left_on is null;
