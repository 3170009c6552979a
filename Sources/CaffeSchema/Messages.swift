// The messages are a module of their own, so that an edit here does not compile 30,000 generated lines again.
@_exported import CaffeMessages
