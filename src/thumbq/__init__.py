"""thumbq takes image uploads over HTTP, keeps originals in S3 and makes thumbnails through SQS."""
