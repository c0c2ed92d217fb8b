"""Makes the CRDs of the five kinds from their pydantic models: `python -m keelway.crdgen crds/`.

`schema` turns a model into a structural OpenAPI schema, `definition` a kind into a CustomResourceDefinition, `files`
keeps a folder equal to what the models say.
"""
