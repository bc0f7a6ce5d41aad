CREATE TABLE shipments (shipment_id TEXT PRIMARY KEY, order_id TEXT NOT NULL,
    fulfillment_id TEXT NOT NULL, account_id TEXT NOT NULL, courier TEXT NOT NULL,
    status TEXT NOT NULL, tracking_status TEXT NOT NULL, tracking_number TEXT NOT NULL,
    cod BIGINT NOT NULL, public_token TEXT NOT NULL, created_ms BIGINT NOT NULL, card BLOB NOT NULL);
CREATE INDEX shipments_by_order ON shipments (order_id);
CREATE INDEX shipments_by_token ON shipments (public_token);
CREATE INDEX shipments_by_number ON shipments (tracking_number);
CREATE INDEX shipments_by_time ON shipments (created_ms, shipment_id);
CREATE TABLE awbs (shipment_id TEXT NOT NULL, awb TEXT NOT NULL, account_id TEXT NOT NULL,
    tracking_number TEXT NOT NULL, delivery_id TEXT NOT NULL, PRIMARY KEY (shipment_id, awb));
CREATE INDEX awbs_by_number ON awbs (tracking_number);
CREATE INDEX awbs_by_delivery ON awbs (delivery_id);
CREATE TABLE awb_status_logs (event_id TEXT PRIMARY KEY, shipment_id TEXT NOT NULL,
    position BIGINT NOT NULL, event_index BIGINT NOT NULL, log BLOB NOT NULL, raw BLOB NOT NULL);
CREATE INDEX awb_status_logs_by_shipment ON awb_status_logs (shipment_id, position, event_index);
CREATE TABLE unmatched (event_id TEXT PRIMARY KEY, received BIGINT NOT NULL,
    matched BIGINT NOT NULL, account_id TEXT NOT NULL, tracking_number TEXT NOT NULL,
    delivery_id TEXT NOT NULL, received_ms BIGINT NOT NULL, position BIGINT NOT NULL,
    body BLOB NOT NULL);
CREATE INDEX unmatched_by_number ON unmatched (tracking_number);
CREATE INDEX unmatched_by_delivery ON unmatched (delivery_id);
CREATE TABLE courier_accounts (account_id TEXT PRIMARY KEY, courier TEXT NOT NULL,
    created_ms BIGINT NOT NULL, card BLOB NOT NULL);
CREATE TABLE manifests (manifest_id TEXT PRIMARY KEY, status TEXT NOT NULL,
    created_ms BIGINT NOT NULL, card BLOB NOT NULL);
