CREATE TABLE message (message_id TEXT PRIMARY KEY, order_id TEXT NOT NULL,
    shipment_id TEXT NOT NULL, milestone TEXT NOT NULL, channel TEXT NOT NULL,
    language TEXT NOT NULL, account_id TEXT NOT NULL, status TEXT NOT NULL, reason TEXT,
    detail TEXT, provider_id TEXT, attempts BIGINT NOT NULL, created_at_ms BIGINT NOT NULL,
    sent_at_ms BIGINT, delivered_at_ms BIGINT, read_at_ms BIGINT);
CREATE INDEX message_by_time ON message (created_at_ms, message_id);
CREATE INDEX message_by_order ON message (order_id);
CREATE INDEX message_by_provider_id ON message (provider_id);
CREATE TABLE person_message (message_id TEXT PRIMARY KEY, contact_id TEXT NOT NULL,
    body TEXT NOT NULL);
CREATE INDEX person_message_by_contact ON person_message (contact_id);
CREATE TABLE erased_contact (contact_id TEXT PRIMARY KEY);
CREATE TABLE template (template_id TEXT PRIMARY KEY, updated_at_ms BIGINT NOT NULL,
    put BLOB NOT NULL);
CREATE TABLE channel_account (account_id TEXT PRIMARY KEY, channel TEXT NOT NULL,
    name TEXT NOT NULL, mode TEXT NOT NULL, credentials_last4 TEXT NOT NULL,
    phone_number_id TEXT NOT NULL, webhook_token BLOB NOT NULL,
    credentials BLOB NOT NULL, rotations BIGINT NOT NULL, enabled BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL, updated_at_ms BIGINT NOT NULL);
CREATE TABLE shipment (shipment_id TEXT PRIMARY KEY, tracking_number TEXT NOT NULL,
    tracking_url TEXT NOT NULL, off_course TEXT NOT NULL);
