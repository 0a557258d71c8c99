"""S3: conditional and multipart writes, copies and what moto leaves out of them."""
