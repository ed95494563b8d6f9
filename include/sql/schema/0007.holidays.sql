-- Public holidays, on which a campaign may spare customers its messages.

create table shop.holidays (
    country text not null, -- ISO 3166-1 alpha-2
    holiday date not null, -- as it is kept: the Monday too, where a Sunday is made up for
    edition text not null, -- of the library that says so
    primary key (country, holiday)
);
