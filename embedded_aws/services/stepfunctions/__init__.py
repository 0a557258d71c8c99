"""Step Functions: JSONata, service integrations and other corrections of moto's interpreter."""
