-- What a text costs, and since when nobody has found a message that is unknown.
alter table delivery.messages
    add column segments integer check (segments > 0), -- of an SMS that was sent or may have been: what operators charge
    add column looked_up_at timestamptz; -- of an unknown one: when the provider was last asked, and had nothing to show
