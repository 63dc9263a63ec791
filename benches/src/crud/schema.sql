-- The tables of the service without events: what stands now, and what has to be told to others. No history, no read models.
CREATE TABLE idempotency_key (
    key text PRIMARY KEY,
    fingerprint bytea NOT NULL,
    order_id uuid NOT NULL
);

CREATE TABLE customer_order (
    order_id uuid PRIMARY KEY,
    channel text NOT NULL,
    customer_ref text NOT NULL,
    currency text NOT NULL,
    total bigint NOT NULL,
    status text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now()
);
-- For the list of orders, newest first.
CREATE INDEX customer_order_placed ON customer_order (placed_at DESC, order_id);

CREATE TABLE order_line (
    order_id uuid NOT NULL REFERENCES customer_order,
    line_id integer NOT NULL,
    sku text NOT NULL,
    title text NOT NULL,
    qty bigint NOT NULL,
    unit_price bigint NOT NULL,
    tax_bp integer NOT NULL,
    PRIMARY KEY (order_id, line_id)
);

CREATE TABLE stock (
    sku text PRIMARY KEY,
    qty bigint NOT NULL CHECK (qty >= 0)
);

CREATE TABLE payment (
    payment_id uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES customer_order,
    amount bigint NOT NULL,
    provider_ref text NOT NULL,
    status text NOT NULL
);

CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL,
    actor text NOT NULL,
    what text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    body text NOT NULL
);
