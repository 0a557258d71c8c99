"""S3: conditional and multipart writes, copies, checksums and default encryption."""
