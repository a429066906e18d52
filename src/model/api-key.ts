/** What is kept of an API key: enough to know it again, not enough to use it. */
export interface ApiKeyRecord {
  /** Names the key to people; no secret. */
  readonly id: string;
  readonly tenantId: string;
  /** Of the key's secret part, hex. The secret is 32 random bytes, so a plain hash cannot be guessed back. */
  readonly secretSha256: string;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}
