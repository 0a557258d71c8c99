"""Step Functions: JSONata, service integrations and the rest that moto's interpreter lacks."""
