// CaffeSchema
