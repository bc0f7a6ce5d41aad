CREATE TABLE account (kind TEXT NOT NULL, account_id TEXT NOT NULL, token_sha256 TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL, header TEXT NOT NULL, credentials BLOB NOT NULL,
    rotations BIGINT NOT NULL, previous BLOB NOT NULL, previous_until_ms BIGINT NOT NULL,
    PRIMARY KEY (kind, account_id));
CREATE INDEX account_by_token ON account (token_sha256);
