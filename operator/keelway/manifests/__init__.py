"""Pure builders of the objects that Keelway makes: Jobs, records, InferenceServices, Services, routes."""
