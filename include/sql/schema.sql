-- The schema that the migrations of schema/ make, as pg_dump tells it. Written by `make schema`; nothing reads it but a
-- test, which finds every change of the schema here.

CREATE SCHEMA campaigns;

CREATE SCHEMA delivery;

CREATE SCHEMA events;

CREATE SCHEMA landing;

CREATE SCHEMA offers;

CREATE SCHEMA selections;

CREATE SCHEMA shop;

CREATE FUNCTION shop.customer_id(namespace text, customer_ref text) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN ((('x'::text || encode(SUBSTRING(sha256(convert_to(((namespace || chr(31)) || customer_ref), 'UTF8'::name)) FROM 1 FOR 8), 'hex'::text)))::bit(64))::bigint;

CREATE FUNCTION shop.is_email(address text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((length(address) <= 254) AND (POSITION(('@'::text) IN (address)) <= 65) AND ((length(split_part(address, '.'::text, '-1'::integer)) >= 2) AND (length(split_part(address, '.'::text, '-1'::integer)) <= 63)) AND (address ~ ('^[^][@[:space:][:cntrl:]<>(),;:"\\]+@([^][@[:space:][:cntrl:]<>(),;:"\\._]+\.)+'::text || '[^][@[:space:][:cntrl:]<>(),;:"\\._0-9-]+$'::text)) AND (address !~ '(^\.|\.\.|\.@|@-|-\.|\.-)'::text));

CREATE FUNCTION shop.is_phone(number text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (number ~ '^[+][1-9][0-9]{6,14}$'::text);

CREATE FUNCTION shop.is_web_address(url text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ((length(url) <= 2000) AND (url ~* '^https?://[[:alnum:]][^[:space:][:cntrl:]"<>\\^`{|}]*$'::text));

CREATE TABLE campaigns.approvals (
    approval_id text NOT NULL,
    campaign text NOT NULL,
    day date NOT NULL,
    version text NOT NULL,
    why text NOT NULL,
    customers integer NOT NULL,
    median numeric,
    entered_change bigint NOT NULL,
    state text NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    decided_at timestamp with time zone,
    decided_by text,
    CONSTRAINT approvals_check CHECK (((state = 'waiting'::text) = (decided_at IS NULL))),
    CONSTRAINT approvals_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'approved'::text, 'refused'::text, 'automatic'::text]))),
    CONSTRAINT approvals_why_check CHECK ((why = ANY (ARRAY['first_launch'::text, 'above_median'::text])))
);

CREATE TABLE campaigns.candidates (
    customer_id bigint NOT NULL,
    approval_id text NOT NULL,
    campaign text NOT NULL,
    group_name text
);

CREATE TABLE campaigns.decisions (
    customer_id bigint NOT NULL,
    campaign text NOT NULL,
    decided_on date NOT NULL,
    decision text NOT NULL,
    reason text NOT NULL
);

CREATE TABLE campaigns.enrolments (
    customer_id bigint NOT NULL,
    campaign text NOT NULL,
    entry_no integer NOT NULL,
    version text NOT NULL,
    arm text NOT NULL,
    entered_on date NOT NULL,
    exited_on date,
    exit_reason text,
    entered_change bigint,
    variant text,
    group_name text,
    unit bigint,
    send_id text,
    days_later integer DEFAULT 0 NOT NULL,
    level text,
    CONSTRAINT enrolments_arm_check CHECK ((arm = ANY (ARRAY['treated'::text, 'control'::text]))),
    CONSTRAINT enrolments_check CHECK (((exited_on IS NULL) = (exit_reason IS NULL))),
    CONSTRAINT enrolments_check1 CHECK ((exited_on >= entered_on)),
    CONSTRAINT enrolments_entry_no_check CHECK ((entry_no > 0))
);

CREATE TABLE campaigns.first_names (
    campaign text NOT NULL,
    first_name text NOT NULL
);

CREATE TABLE campaigns.paused (
    campaign text NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    since_day date,
    removed_on date,
    CONSTRAINT paused_reason_check CHECK ((reason = ANY (ARRAY['file_missing'::text, 'file_unreadable'::text, 'folder_empty'::text, 'perhaps_renamed'::text])))
);

CREATE TABLE campaigns.send_members (
    customer_id bigint NOT NULL,
    send_id text NOT NULL,
    reason text
);

CREATE TABLE campaigns.sends (
    send_id text NOT NULL,
    campaign text NOT NULL,
    version text NOT NULL,
    day date NOT NULL,
    send_on date NOT NULL,
    asked jsonb NOT NULL,
    frozen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    decided_at timestamp with time zone,
    decided_by text,
    CONSTRAINT sends_check CHECK (((state = 'waiting'::text) = (decided_at IS NULL))),
    CONSTRAINT sends_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'approved'::text, 'rejected'::text, 'expired'::text])))
);

CREATE TABLE campaigns.versions (
    campaign text NOT NULL,
    version text NOT NULL,
    definition jsonb NOT NULL,
    templates jsonb NOT NULL,
    selection_sql text NOT NULL,
    first_used_on date NOT NULL,
    rules jsonb DEFAULT '{}'::jsonb NOT NULL
);

CREATE TABLE delivery.audience_members (
    customer_id bigint NOT NULL,
    message_key text NOT NULL,
    campaign text NOT NULL,
    step text NOT NULL,
    entry_no integer NOT NULL,
    until_on date NOT NULL,
    email_meta text,
    email_google text,
    phone_meta text,
    phone_google text,
    kept_at timestamp with time zone NOT NULL,
    added_in integer,
    left_at timestamp with time zone,
    left_reason text,
    removed_in integer,
    CONSTRAINT audience_members_check CHECK (((removed_in IS NOT NULL) OR (num_nonnulls(email_meta, phone_meta) > 0))),
    CONSTRAINT audience_members_check1 CHECK (((left_at IS NULL) = (left_reason IS NULL))),
    CONSTRAINT audience_members_check2 CHECK (((removed_in IS NULL) OR ((added_in IS NOT NULL) AND (removed_in > added_in) AND (left_at IS NOT NULL))))
);

CREATE TABLE delivery.batches (
    claim uuid NOT NULL,
    campaign text NOT NULL,
    batch_id text NOT NULL,
    send_at timestamp with time zone NOT NULL,
    cancelled_at timestamp with time zone
);

CREATE TABLE delivery.caps (
    channel text NOT NULL,
    at_most integer NOT NULL,
    hours integer NOT NULL,
    in_force_from timestamp with time zone NOT NULL,
    in_force_until timestamp with time zone,
    selection text DEFAULT ''::text NOT NULL,
    members_on date,
    is_current boolean DEFAULT true NOT NULL,
    CONSTRAINT caps_at_most_check CHECK ((at_most > 0)),
    CONSTRAINT caps_check CHECK ((in_force_until >= in_force_from)),
    CONSTRAINT caps_hours_check CHECK ((hours > 0))
);

CREATE TABLE delivery.cards (
    customer_id bigint NOT NULL,
    message_key text NOT NULL,
    campaign text NOT NULL,
    step text NOT NULL,
    language text NOT NULL,
    recipient text NOT NULL,
    street text NOT NULL,
    postal_code text NOT NULL,
    city text NOT NULL,
    country text NOT NULL,
    card text NOT NULL,
    kept_at timestamp with time zone NOT NULL,
    exported_in integer
);

CREATE TABLE delivery.decisions (
    customer_id bigint NOT NULL,
    message_key text NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    decision text NOT NULL,
    decided_by text NOT NULL,
    CONSTRAINT decisions_decision_check CHECK ((decision = ANY (ARRAY['sent'::text, 'again'::text])))
);

CREATE TABLE delivery.exports (
    campaign text NOT NULL,
    step text NOT NULL,
    number integer NOT NULL,
    channel text NOT NULL,
    day date NOT NULL,
    exported_at timestamp with time zone NOT NULL,
    added integer NOT NULL,
    removed integer NOT NULL,
    written_at timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT exports_number_check CHECK ((number > 0))
);

CREATE TABLE delivery.halts (
    kind text NOT NULL,
    name text NOT NULL,
    halted_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT halts_kind_check CHECK ((kind = ANY (ARRAY['all'::text, 'campaign'::text, 'channel'::text])))
);

CREATE TABLE delivery.messages (
    customer_id bigint NOT NULL,
    message_key text NOT NULL,
    campaign text NOT NULL,
    version text NOT NULL,
    entry_no integer NOT NULL,
    step text NOT NULL,
    channel text NOT NULL,
    day date NOT NULL,
    state text NOT NULL,
    reason text,
    offer text,
    due_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    window_start time without time zone NOT NULL,
    window_end time without time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    retry_at timestamp with time zone,
    claim uuid,
    provider text,
    attempted_at timestamp with time zone,
    called_at timestamp with time zone,
    settled_at timestamp with time zone,
    provider_id text,
    segments integer,
    looked_up_at timestamp with time zone,
    variant text,
    forecast text,
    human_clicked_at timestamp with time zone,
    CONSTRAINT messages_check CHECK ((expires_at > due_at)),
    CONSTRAINT messages_check1 CHECK (((state <> ALL (ARRAY['skipped'::text, 'refused'::text, 'unknown'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT messages_check2 CHECK (((state <> ALL (ARRAY['attempting'::text, 'accepted'::text, 'delivered'::text, 'bounced'::text, 'refused'::text, 'unknown'::text])) OR ((attempts > 0) AND (claim IS NOT NULL) AND (attempted_at IS NOT NULL)))),
    CONSTRAINT messages_check3 CHECK (((state <> ALL (ARRAY['accepted'::text, 'delivered'::text, 'bounced'::text, 'refused'::text, 'unknown'::text, 'skipped'::text])) OR (settled_at IS NOT NULL))),
    CONSTRAINT messages_segments_check CHECK ((segments > 0)),
    CONSTRAINT messages_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'attempting'::text, 'accepted'::text, 'delivered'::text, 'bounced'::text, 'refused'::text, 'unknown'::text, 'skipped'::text])))
);

CREATE TABLE delivery.outbox (
    customer_id bigint NOT NULL,
    message_key text NOT NULL,
    channel text NOT NULL,
    recipient text NOT NULL,
    subject text,
    text_body text NOT NULL,
    html_body text,
    headers jsonb DEFAULT '{}'::jsonb NOT NULL,
    stored_at timestamp with time zone NOT NULL
);

CREATE TABLE delivery.restores (
    claim uuid NOT NULL,
    backup_at timestamp with time zone NOT NULL,
    restored_at timestamp with time zone NOT NULL
);

CREATE TABLE events.received (
    customer_id bigint NOT NULL,
    event_key text NOT NULL,
    provider text NOT NULL,
    message_key text,
    kind text NOT NULL,
    detail text,
    link text,
    agent text,
    provider_id text,
    occurred_at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    applied_at timestamp with time zone,
    batch uuid,
    CONSTRAINT received_check CHECK (((batch IS NULL) OR (applied_at IS NOT NULL))),
    CONSTRAINT received_provider_check CHECK ((provider = ANY (ARRAY['sendgrid'::text, 'twilio'::text, 'retention'::text])))
);

CREATE TABLE landing.corrections (
    load_id bigint NOT NULL,
    file text NOT NULL,
    file_no integer NOT NULL,
    row_no bigint NOT NULL,
    rule text NOT NULL,
    value text,
    taken_at timestamp with time zone NOT NULL
);

CREATE TABLE landing.loads (
    load_id bigint NOT NULL,
    source text NOT NULL,
    feed text NOT NULL,
    load_key text NOT NULL,
    day date,
    files jsonb NOT NULL,
    landed bigint NOT NULL,
    accepted bigint,
    rejected bigint,
    landed_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE landing.loads ALTER COLUMN load_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME landing.loads_load_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE landing.rejections (
    load_id bigint NOT NULL,
    file text NOT NULL,
    file_no integer DEFAULT 1 NOT NULL,
    row_no bigint NOT NULL,
    rule text NOT NULL,
    value text,
    row_text jsonb,
    length bigint
);

CREATE TABLE landing.validations (
    load_id bigint NOT NULL,
    suite text NOT NULL,
    success boolean NOT NULL,
    results jsonb NOT NULL,
    validated_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE offers.coupon_exports (
    customer_id bigint NOT NULL,
    campaign text NOT NULL,
    entry_no integer NOT NULL,
    offer text NOT NULL,
    state text NOT NULL,
    expires_at timestamp with time zone,
    exported_at timestamp with time zone NOT NULL
);

CREATE TABLE offers.coupons (
    customer_id bigint NOT NULL,
    campaign text NOT NULL,
    entry_no integer NOT NULL,
    offer text NOT NULL,
    code text NOT NULL,
    percent numeric(5,2),
    state text NOT NULL,
    reserved_on date NOT NULL,
    expires_at timestamp with time zone,
    terms jsonb,
    CONSTRAINT coupons_check CHECK (((state <> 'issued'::text) OR (expires_at IS NOT NULL))),
    CONSTRAINT coupons_state_check CHECK ((state = ANY (ARRAY['reserved'::text, 'issued'::text, 'void'::text, 'redeemed'::text])))
);

CREATE TABLE offers.redemptions (
    customer_id bigint NOT NULL,
    code text NOT NULL,
    order_ref text NOT NULL,
    source text NOT NULL,
    campaign text NOT NULL,
    entry_no integer NOT NULL,
    offer text NOT NULL,
    outcome text NOT NULL,
    redeemed_at timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    CONSTRAINT redemptions_outcome_check CHECK ((outcome = ANY (ARRAY['redeemed'::text, 'expired'::text, 'not_issued'::text, 'redeemed_before'::text])))
);

CREATE TABLE offers.sales (
    as_of date NOT NULL,
    source text NOT NULL,
    product_ref text NOT NULL,
    category text NOT NULL,
    revenue numeric NOT NULL,
    orders numeric NOT NULL
);

CREATE TABLE public.migrations (
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE selections.membership (
    selection text NOT NULL,
    customer_id bigint NOT NULL,
    entered_on date NOT NULL,
    left_on date,
    CONSTRAINT membership_check CHECK ((left_on > entered_on))
);

CREATE SEQUENCE shop.change_no
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE shop.changes (
    customer_id bigint NOT NULL,
    change_no bigint DEFAULT nextval('shop.change_no'::regclass) NOT NULL,
    day date NOT NULL,
    what text[] NOT NULL
);

CREATE TABLE shop.consents (
    customer_id bigint NOT NULL,
    purpose text NOT NULL,
    channel text NOT NULL,
    is_granted boolean NOT NULL,
    basis text DEFAULT 'consent'::text NOT NULL,
    origin text,
    text_version text,
    updated_at timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    CONSTRAINT consents_basis_check CHECK ((basis = ANY (ARRAY['consent'::text, 'soft_opt_in'::text])))
);

CREATE TABLE shop.consents_history (
    customer_id bigint CONSTRAINT consents_customer_id_not_null NOT NULL,
    purpose text CONSTRAINT consents_purpose_not_null NOT NULL,
    channel text CONSTRAINT consents_channel_not_null NOT NULL,
    is_granted boolean CONSTRAINT consents_is_granted_not_null NOT NULL,
    basis text DEFAULT 'consent'::text CONSTRAINT consents_basis_not_null NOT NULL,
    origin text,
    text_version text,
    updated_at timestamp with time zone CONSTRAINT consents_updated_at_not_null NOT NULL,
    known_at timestamp with time zone CONSTRAINT consents_known_at_not_null NOT NULL,
    superseded_at timestamp with time zone NOT NULL,
    CONSTRAINT consents_history_check CHECK ((superseded_at > known_at))
);

CREATE VIEW shop.consent_versions AS
 SELECT consents.customer_id,
    consents.purpose,
    consents.channel,
    consents.is_granted,
    consents.basis,
    consents.origin,
    consents.text_version,
    consents.updated_at,
    consents.known_at,
    'infinity'::timestamp with time zone AS superseded_at
   FROM shop.consents
UNION ALL
 SELECT consents_history.customer_id,
    consents_history.purpose,
    consents_history.channel,
    consents_history.is_granted,
    consents_history.basis,
    consents_history.origin,
    consents_history.text_version,
    consents_history.updated_at,
    consents_history.known_at,
    consents_history.superseded_at
   FROM shop.consents_history;

CREATE TABLE shop.country_zones (
    country text NOT NULL,
    zone text NOT NULL
);

CREATE TABLE shop.customer_stats (
    customer_id bigint NOT NULL,
    orders_count integer NOT NULL,
    complete_orders integer NOT NULL,
    first_order_on date,
    last_order_on date,
    last_order_at timestamp with time zone,
    revenue numeric(16,2) NOT NULL,
    last_gap_days integer,
    median_gap_days numeric(10,1),
    categories text[] DEFAULT '{}'::text[] NOT NULL
);

CREATE TABLE shop.customers (
    customer_id bigint NOT NULL,
    namespace text NOT NULL,
    customer_ref text NOT NULL,
    email text,
    email_ok boolean GENERATED ALWAYS AS (COALESCE(shop.is_email(email), false)) STORED NOT NULL,
    phone text,
    phone_ok boolean GENERATED ALWAYS AS (COALESCE(shop.is_phone(phone), false)) STORED NOT NULL,
    first_name text,
    last_name text,
    language text,
    street text,
    postal_code text,
    city text,
    country text,
    time_zone text,
    household_ref text,
    registered_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    CONSTRAINT customers_time_zone_check CHECK (((timezone(time_zone, '1970-01-01 00:00:00+00'::timestamp with time zone) IS NOT NULL) OR (time_zone IS NULL)))
);

CREATE TABLE shop.customers_history (
    customer_id bigint CONSTRAINT customers_customer_id_not_null NOT NULL,
    namespace text CONSTRAINT customers_namespace_not_null NOT NULL,
    customer_ref text CONSTRAINT customers_customer_ref_not_null NOT NULL,
    email text,
    email_ok boolean GENERATED ALWAYS AS (COALESCE(shop.is_email(email), false)) STORED CONSTRAINT customers_email_ok_not_null NOT NULL,
    phone text,
    phone_ok boolean GENERATED ALWAYS AS (COALESCE(shop.is_phone(phone), false)) STORED CONSTRAINT customers_phone_ok_not_null NOT NULL,
    first_name text,
    last_name text,
    language text,
    street text,
    postal_code text,
    city text,
    country text,
    time_zone text,
    household_ref text,
    registered_at timestamp with time zone,
    updated_at timestamp with time zone CONSTRAINT customers_updated_at_not_null NOT NULL,
    known_at timestamp with time zone CONSTRAINT customers_known_at_not_null NOT NULL,
    superseded_at timestamp with time zone NOT NULL,
    CONSTRAINT customers_history_check CHECK ((superseded_at > known_at)),
    CONSTRAINT customers_time_zone_check CHECK (((timezone(time_zone, '1970-01-01 00:00:00+00'::timestamp with time zone) IS NOT NULL) OR (time_zone IS NULL)))
);

CREATE VIEW shop.customer_versions AS
 SELECT customers.customer_id,
    customers.namespace,
    customers.customer_ref,
    customers.email,
    customers.email_ok,
    customers.phone,
    customers.phone_ok,
    customers.first_name,
    customers.last_name,
    customers.language,
    customers.street,
    customers.postal_code,
    customers.city,
    customers.country,
    customers.time_zone,
    customers.household_ref,
    customers.registered_at,
    customers.updated_at,
    customers.known_at,
    'infinity'::timestamp with time zone AS superseded_at
   FROM shop.customers
UNION ALL
 SELECT customers_history.customer_id,
    customers_history.namespace,
    customers_history.customer_ref,
    customers_history.email,
    customers_history.email_ok,
    customers_history.phone,
    customers_history.phone_ok,
    customers_history.first_name,
    customers_history.last_name,
    customers_history.language,
    customers_history.street,
    customers_history.postal_code,
    customers_history.city,
    customers_history.country,
    customers_history.time_zone,
    customers_history.household_ref,
    customers_history.registered_at,
    customers_history.updated_at,
    customers_history.known_at,
    customers_history.superseded_at
   FROM shop.customers_history;

CREATE TABLE shop.days (
    day date NOT NULL,
    stage text NOT NULL,
    part text NOT NULL,
    state text NOT NULL,
    counts jsonb DEFAULT '{}'::jsonb NOT NULL,
    message text DEFAULT ''::text NOT NULL,
    definition text DEFAULT ''::text NOT NULL,
    watermark bigint,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT days_stage_check CHECK ((stage = ANY (ARRAY['orders'::text, 'selections'::text, 'campaigns'::text, 'delivery'::text]))),
    CONSTRAINT days_state_check CHECK ((state = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text])))
);

CREATE TABLE shop.engagement (
    customer_id bigint NOT NULL,
    tracked_since date NOT NULL,
    last_engaged_on date,
    known_at timestamp with time zone NOT NULL
);

CREATE TABLE shop.erased (
    digest bytea NOT NULL,
    kind text NOT NULL,
    erased_at timestamp with time zone NOT NULL,
    CONSTRAINT erased_kind_check CHECK ((kind = ANY (ARRAY['customer'::text, 'email'::text, 'phone'::text])))
);

CREATE TABLE shop.holidays (
    country text NOT NULL,
    holiday date NOT NULL,
    edition text NOT NULL
);

CREATE TABLE shop.rules (
    country text NOT NULL,
    channel text NOT NULL,
    basis text NOT NULL,
    earliest time without time zone,
    latest time without time zone,
    valid_from date NOT NULL,
    source text NOT NULL,
    CONSTRAINT rules_basis_check CHECK ((basis = ANY (ARRAY['consent'::text, 'soft_opt_in'::text, 'legitimate_interest'::text]))),
    CONSTRAINT rules_check CHECK ((earliest < latest)),
    CONSTRAINT rules_country_check CHECK (((country = 'unknown'::text) OR (country ~ '^[A-Z]{2}$'::text)))
);

CREATE VIEW shop.law AS
 SELECT country,
    channel,
    basis,
    earliest,
    latest,
    valid_from,
    source,
    lead(valid_from, 1, 'infinity'::date) OVER (PARTITION BY country, channel ORDER BY valid_from) AS valid_until
   FROM shop.rules;

CREATE TABLE shop.list_members (
    customer_id bigint NOT NULL,
    list text NOT NULL,
    since timestamp with time zone NOT NULL,
    until timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    CONSTRAINT list_members_check CHECK ((until >= since))
);

CREATE TABLE shop.list_members_history (
    customer_id bigint CONSTRAINT list_members_customer_id_not_null NOT NULL,
    list text CONSTRAINT list_members_list_not_null NOT NULL,
    since timestamp with time zone CONSTRAINT list_members_since_not_null NOT NULL,
    until timestamp with time zone,
    updated_at timestamp with time zone CONSTRAINT list_members_updated_at_not_null NOT NULL,
    known_at timestamp with time zone CONSTRAINT list_members_known_at_not_null NOT NULL,
    superseded_at timestamp with time zone NOT NULL,
    CONSTRAINT list_members_history_check CHECK ((superseded_at > known_at))
);

CREATE VIEW shop.list_member_versions AS
 SELECT list_members.customer_id,
    list_members.list,
    list_members.since,
    list_members.until,
    list_members.updated_at,
    list_members.known_at,
    'infinity'::timestamp with time zone AS superseded_at
   FROM shop.list_members
UNION ALL
 SELECT list_members_history.customer_id,
    list_members_history.list,
    list_members_history.since,
    list_members_history.until,
    list_members_history.updated_at,
    list_members_history.known_at,
    list_members_history.superseded_at
   FROM shop.list_members_history;

CREATE TABLE shop.order_lines (
    customer_id bigint NOT NULL,
    source text NOT NULL,
    order_ref text NOT NULL,
    line_no integer NOT NULL,
    product_ref text NOT NULL,
    category text,
    description text,
    quantity numeric(14,3) NOT NULL,
    unit_price numeric(14,4) NOT NULL,
    known_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);

CREATE TABLE shop.orders (
    customer_id bigint NOT NULL,
    source text NOT NULL,
    order_ref text NOT NULL,
    ordered_at timestamp with time zone NOT NULL,
    ordered_on date NOT NULL,
    status text NOT NULL,
    total numeric(14,2) NOT NULL,
    refunded numeric(14,2) DEFAULT 0 NOT NULL,
    currency text NOT NULL,
    total_reporting numeric(14,2) NOT NULL,
    refunded_reporting numeric(14,2) DEFAULT 0 NOT NULL,
    coupon_code text,
    store text,
    updated_at timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    change_no bigint DEFAULT nextval('shop.change_no'::regclass) NOT NULL,
    CONSTRAINT orders_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT orders_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'complete'::text, 'cancelled'::text, 'refunded'::text])))
);

CREATE TABLE shop.orders_history (
    customer_id bigint CONSTRAINT orders_customer_id_not_null NOT NULL,
    source text CONSTRAINT orders_source_not_null NOT NULL,
    order_ref text CONSTRAINT orders_order_ref_not_null NOT NULL,
    ordered_at timestamp with time zone CONSTRAINT orders_ordered_at_not_null NOT NULL,
    ordered_on date CONSTRAINT orders_ordered_on_not_null NOT NULL,
    status text CONSTRAINT orders_status_not_null NOT NULL,
    total numeric(14,2) CONSTRAINT orders_total_not_null NOT NULL,
    refunded numeric(14,2) DEFAULT 0 CONSTRAINT orders_refunded_not_null NOT NULL,
    currency text CONSTRAINT orders_currency_not_null NOT NULL,
    total_reporting numeric(14,2) CONSTRAINT orders_total_reporting_not_null NOT NULL,
    refunded_reporting numeric(14,2) DEFAULT 0 CONSTRAINT orders_refunded_reporting_not_null NOT NULL,
    coupon_code text,
    store text,
    updated_at timestamp with time zone CONSTRAINT orders_updated_at_not_null NOT NULL,
    known_at timestamp with time zone CONSTRAINT orders_known_at_not_null NOT NULL,
    change_no bigint,
    superseded_at timestamp with time zone NOT NULL,
    CONSTRAINT orders_history_check CHECK ((superseded_at > known_at))
);

CREATE VIEW shop.order_versions AS
 SELECT orders.customer_id,
    orders.source,
    orders.order_ref,
    orders.ordered_at,
    orders.ordered_on,
    orders.status,
    orders.total,
    orders.refunded,
    orders.currency,
    orders.total_reporting,
    orders.refunded_reporting,
    orders.coupon_code,
    orders.store,
    orders.updated_at,
    orders.known_at,
    orders.change_no,
    'infinity'::timestamp with time zone AS superseded_at
   FROM shop.orders
UNION ALL
 SELECT orders_history.customer_id,
    orders_history.source,
    orders_history.order_ref,
    orders_history.ordered_at,
    orders_history.ordered_on,
    orders_history.status,
    orders_history.total,
    orders_history.refunded,
    orders_history.currency,
    orders_history.total_reporting,
    orders_history.refunded_reporting,
    orders_history.coupon_code,
    orders_history.store,
    orders_history.updated_at,
    orders_history.known_at,
    orders_history.change_no,
    orders_history.superseded_at
   FROM shop.orders_history;

CREATE TABLE shop.products (
    source text NOT NULL,
    product_ref text NOT NULL,
    category text,
    name text NOT NULL,
    margin numeric(6,5),
    price numeric(14,4),
    currency text NOT NULL,
    picture_url text,
    url text,
    updated_at timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    CONSTRAINT products_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT products_margin_check CHECK (((margin >= (0)::numeric) AND (margin <= (1)::numeric))),
    CONSTRAINT products_picture_url_check CHECK (shop.is_web_address(picture_url)),
    CONSTRAINT products_price_check CHECK ((price >= (0)::numeric)),
    CONSTRAINT products_url_check CHECK (shop.is_web_address(url))
);

CREATE TABLE shop.products_history (
    source text CONSTRAINT products_source_not_null NOT NULL,
    product_ref text CONSTRAINT products_product_ref_not_null NOT NULL,
    category text,
    name text CONSTRAINT products_name_not_null NOT NULL,
    margin numeric(6,5),
    price numeric(14,4),
    currency text CONSTRAINT products_currency_not_null NOT NULL,
    picture_url text,
    url text,
    updated_at timestamp with time zone CONSTRAINT products_updated_at_not_null NOT NULL,
    known_at timestamp with time zone CONSTRAINT products_known_at_not_null NOT NULL,
    superseded_at timestamp with time zone NOT NULL,
    CONSTRAINT products_history_check CHECK ((superseded_at > known_at))
);

CREATE VIEW shop.product_versions AS
 SELECT products.source,
    products.product_ref,
    products.category,
    products.name,
    products.margin,
    products.price,
    products.currency,
    products.picture_url,
    products.url,
    products.updated_at,
    products.known_at,
    'infinity'::timestamp with time zone AS superseded_at
   FROM shop.products
UNION ALL
 SELECT products_history.source,
    products_history.product_ref,
    products_history.category,
    products_history.name,
    products_history.margin,
    products_history.price,
    products_history.currency,
    products_history.picture_url,
    products_history.url,
    products_history.updated_at,
    products_history.known_at,
    products_history.superseded_at
   FROM shop.products_history;

CREATE TABLE shop.rates (
    currency text NOT NULL,
    valid_from date NOT NULL,
    rate numeric(18,8) NOT NULL,
    CONSTRAINT rates_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT rates_rate_check CHECK ((rate > (0)::numeric))
);

CREATE TABLE shop.suppressions (
    customer_id bigint NOT NULL,
    channel text NOT NULL,
    reason text NOT NULL,
    known_at timestamp with time zone NOT NULL,
    lifted_at timestamp with time zone,
    via text DEFAULT 'self'::text NOT NULL
);

ALTER TABLE ONLY campaigns.approvals
    ADD CONSTRAINT approvals_pkey PRIMARY KEY (approval_id);

ALTER TABLE ONLY campaigns.candidates
    ADD CONSTRAINT candidates_pkey PRIMARY KEY (customer_id, approval_id);

ALTER TABLE ONLY campaigns.decisions
    ADD CONSTRAINT decisions_pkey PRIMARY KEY (customer_id, campaign, decided_on);

ALTER TABLE ONLY campaigns.enrolments
    ADD CONSTRAINT enrolments_pkey PRIMARY KEY (customer_id, campaign, entry_no);

ALTER TABLE ONLY campaigns.first_names
    ADD CONSTRAINT first_names_pkey PRIMARY KEY (campaign);

ALTER TABLE ONLY campaigns.paused
    ADD CONSTRAINT paused_pkey PRIMARY KEY (campaign);

ALTER TABLE ONLY campaigns.send_members
    ADD CONSTRAINT send_members_pkey PRIMARY KEY (customer_id, send_id);

ALTER TABLE ONLY campaigns.sends
    ADD CONSTRAINT sends_pkey PRIMARY KEY (send_id);

ALTER TABLE ONLY campaigns.versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (campaign, version);

ALTER TABLE ONLY delivery.audience_members
    ADD CONSTRAINT audience_members_pkey PRIMARY KEY (customer_id, message_key);

ALTER TABLE ONLY delivery.batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (claim, campaign, batch_id);

ALTER TABLE ONLY delivery.caps
    ADD CONSTRAINT caps_pkey PRIMARY KEY (channel, at_most, hours, selection, in_force_from);

ALTER TABLE ONLY delivery.cards
    ADD CONSTRAINT cards_pkey PRIMARY KEY (customer_id, message_key);

ALTER TABLE ONLY delivery.decisions
    ADD CONSTRAINT decisions_pkey PRIMARY KEY (customer_id, message_key, decided_at);

ALTER TABLE ONLY delivery.exports
    ADD CONSTRAINT exports_pkey PRIMARY KEY (campaign, step, number);

ALTER TABLE ONLY delivery.halts
    ADD CONSTRAINT halts_pkey PRIMARY KEY (kind, name);

ALTER TABLE ONLY delivery.messages
    ADD CONSTRAINT messages_customer_id_campaign_entry_no_step_key UNIQUE (customer_id, campaign, entry_no, step);

ALTER TABLE ONLY delivery.messages
    ADD CONSTRAINT messages_pkey PRIMARY KEY (customer_id, message_key);

ALTER TABLE ONLY delivery.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (customer_id, message_key);

ALTER TABLE ONLY delivery.restores
    ADD CONSTRAINT restores_backup_at_key UNIQUE (backup_at);

ALTER TABLE ONLY delivery.restores
    ADD CONSTRAINT restores_pkey PRIMARY KEY (claim);

ALTER TABLE ONLY events.received
    ADD CONSTRAINT received_pkey PRIMARY KEY (customer_id, event_key);

ALTER TABLE ONLY landing.corrections
    ADD CONSTRAINT corrections_pkey PRIMARY KEY (load_id, file_no, row_no);

ALTER TABLE ONLY landing.loads
    ADD CONSTRAINT loads_pkey PRIMARY KEY (load_id);

ALTER TABLE ONLY landing.loads
    ADD CONSTRAINT loads_source_feed_load_key_key UNIQUE (source, feed, load_key);

ALTER TABLE ONLY landing.rejections
    ADD CONSTRAINT rejections_pkey PRIMARY KEY (load_id, file, row_no, rule);

ALTER TABLE ONLY landing.validations
    ADD CONSTRAINT validations_pkey PRIMARY KEY (load_id, suite);

ALTER TABLE ONLY offers.coupon_exports
    ADD CONSTRAINT coupon_exports_pkey PRIMARY KEY (customer_id, campaign, entry_no, offer);

ALTER TABLE ONLY offers.coupons
    ADD CONSTRAINT coupons_customer_id_code_key UNIQUE (customer_id, code);

ALTER TABLE ONLY offers.coupons
    ADD CONSTRAINT coupons_pkey PRIMARY KEY (customer_id, campaign, entry_no, offer);

ALTER TABLE ONLY offers.redemptions
    ADD CONSTRAINT redemptions_pkey PRIMARY KEY (customer_id, code, order_ref);

ALTER TABLE ONLY offers.sales
    ADD CONSTRAINT sales_pkey PRIMARY KEY (as_of, source, product_ref, category);

ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY selections.membership
    ADD CONSTRAINT membership_pkey PRIMARY KEY (selection, customer_id, entered_on);

ALTER TABLE ONLY shop.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (customer_id, change_no);

ALTER TABLE ONLY shop.consents_history
    ADD CONSTRAINT consents_history_pkey PRIMARY KEY (customer_id, purpose, channel, known_at);

ALTER TABLE ONLY shop.consents
    ADD CONSTRAINT consents_pkey PRIMARY KEY (customer_id, purpose, channel);

ALTER TABLE ONLY shop.country_zones
    ADD CONSTRAINT country_zones_pkey PRIMARY KEY (country, zone);

ALTER TABLE ONLY shop.customer_stats
    ADD CONSTRAINT customer_stats_pkey PRIMARY KEY (customer_id);

ALTER TABLE ONLY shop.customers_history
    ADD CONSTRAINT customers_history_pkey PRIMARY KEY (customer_id, known_at);

ALTER TABLE ONLY shop.customers
    ADD CONSTRAINT customers_pkey PRIMARY KEY (customer_id);

ALTER TABLE ONLY shop.days
    ADD CONSTRAINT days_pkey PRIMARY KEY (day, stage, part);

ALTER TABLE ONLY shop.engagement
    ADD CONSTRAINT engagement_pkey PRIMARY KEY (customer_id);

ALTER TABLE ONLY shop.erased
    ADD CONSTRAINT erased_pkey PRIMARY KEY (digest);

ALTER TABLE ONLY shop.holidays
    ADD CONSTRAINT holidays_pkey PRIMARY KEY (country, holiday);

ALTER TABLE ONLY shop.list_members_history
    ADD CONSTRAINT list_members_history_pkey PRIMARY KEY (customer_id, list, known_at);

ALTER TABLE ONLY shop.list_members
    ADD CONSTRAINT list_members_pkey PRIMARY KEY (customer_id, list);

ALTER TABLE ONLY shop.order_lines
    ADD CONSTRAINT order_lines_pkey PRIMARY KEY (customer_id, source, order_ref, line_no);

ALTER TABLE ONLY shop.orders_history
    ADD CONSTRAINT orders_history_pkey PRIMARY KEY (customer_id, source, order_ref, known_at);

ALTER TABLE ONLY shop.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (customer_id, source, order_ref);

ALTER TABLE ONLY shop.products_history
    ADD CONSTRAINT products_history_pkey PRIMARY KEY (source, product_ref, known_at);

ALTER TABLE ONLY shop.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (source, product_ref);

ALTER TABLE ONLY shop.rates
    ADD CONSTRAINT rates_pkey PRIMARY KEY (currency, valid_from);

ALTER TABLE ONLY shop.rules
    ADD CONSTRAINT rules_pkey PRIMARY KEY (country, channel, valid_from);

ALTER TABLE ONLY shop.suppressions
    ADD CONSTRAINT suppressions_pkey PRIMARY KEY (customer_id, channel, reason, via, known_at);

CREATE INDEX approvals_of ON campaigns.approvals USING btree (campaign, day);

CREATE INDEX candidates_of ON campaigns.candidates USING btree (approval_id);

CREATE INDEX enrolments_by_day ON campaigns.enrolments USING btree (campaign, entered_on);

CREATE UNIQUE INDEX enrolments_open ON campaigns.enrolments USING btree (customer_id, campaign) WHERE (exited_on IS NULL);

CREATE UNIQUE INDEX enrolments_open_in_group ON campaigns.enrolments USING btree (customer_id, group_name) WHERE (exited_on IS NULL);

CREATE INDEX send_members_of ON campaigns.send_members USING btree (send_id);

CREATE INDEX audience_members_open ON delivery.audience_members USING btree (campaign, step) WHERE (removed_in IS NULL);

CREATE INDEX caps_by_time ON delivery.caps USING gist (tstzrange(in_force_from, in_force_until));

CREATE UNIQUE INDEX caps_in_force ON delivery.caps USING btree (channel, at_most, hours, selection) WHERE (in_force_until IS NULL);

CREATE INDEX cards_waiting ON delivery.cards USING btree (campaign, step) WHERE (exported_in IS NULL);

CREATE INDEX exports_unwritten ON delivery.exports USING btree (campaign, step, number) WHERE (written_at IS NULL);

CREATE INDEX messages_attempting ON delivery.messages USING btree (claim) WHERE (state = 'attempting'::text);

CREATE INDEX messages_by_day ON delivery.messages USING btree (campaign, day);

CREATE INDEX messages_due ON delivery.messages USING btree (due_at, message_key) WHERE (state = 'planned'::text);

CREATE INDEX messages_unknown ON delivery.messages USING btree (attempted_at) WHERE (state = 'unknown'::text);

CREATE INDEX received_by_batch ON events.received USING btree (batch) WHERE (batch IS NOT NULL);

CREATE INDEX received_clicks ON events.received USING btree (customer_id, message_key, kind, occurred_at) WHERE (kind = ANY (ARRAY['click'::text, 'delivered'::text]));

CREATE INDEX received_pending ON events.received USING btree (received_at) WHERE (applied_at IS NULL);

CREATE INDEX coupons_by_code ON offers.coupons USING btree (code);

CREATE INDEX coupons_by_day ON offers.coupons USING btree (reserved_on);

CREATE INDEX coupons_by_expiry ON offers.coupons USING btree (expires_at);

CREATE UNIQUE INDEX redemptions_once ON offers.redemptions USING btree (customer_id, code) WHERE (outcome = 'redeemed'::text);

CREATE UNIQUE INDEX membership_open ON selections.membership USING btree (selection, customer_id) WHERE (left_on IS NULL);

CREATE INDEX changes_by_number ON shop.changes USING btree (change_no);

CREATE INDEX customers_by_email ON shop.customers USING btree (lower(email)) WHERE email_ok;

CREATE INDEX customers_by_phone ON shop.customers USING btree (phone) WHERE phone_ok;

CREATE INDEX days_by_stage ON shop.days USING btree (stage, part, day);

CREATE INDEX orders_by_ref ON shop.orders USING hash (order_ref);

CREATE INDEX orders_history_with_code ON shop.orders_history USING btree (customer_id) WHERE (coupon_code IS NOT NULL);

CREATE INDEX orders_with_code ON shop.orders USING btree (customer_id) WHERE (coupon_code IS NOT NULL);

ALTER TABLE ONLY landing.corrections
    ADD CONSTRAINT corrections_load_id_fkey FOREIGN KEY (load_id) REFERENCES landing.loads(load_id) ON DELETE CASCADE;

ALTER TABLE ONLY landing.rejections
    ADD CONSTRAINT rejections_load_id_fkey FOREIGN KEY (load_id) REFERENCES landing.loads(load_id) ON DELETE CASCADE;

ALTER TABLE ONLY landing.validations
    ADD CONSTRAINT validations_load_id_fkey FOREIGN KEY (load_id) REFERENCES landing.loads(load_id) ON DELETE CASCADE;
