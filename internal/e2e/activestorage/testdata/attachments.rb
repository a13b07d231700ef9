# Opens every attachment of every row of users in the folder of a Rails app (vectors/activestorage) with the Ruby gems, and
# prints their SHA-256 as JSON, by "user/name/filename".
# usage: KMS_KEY_ID=… LOCKBOX_MASTER_KEY=… ruby attachments.rb FOLDER
require "rails"
require "active_record/railtie"
require "active_storage/engine"
require "sqlite3"
require "lockbox"
require "kms_encrypted"
require "digest"
require "json"

FOLDER = File.expand_path(ARGV.fetch(0))
ENV["DATABASE_URL"] = "sqlite3:#{FOLDER}/app.sqlite3"

class App < Rails::Application
  config.root = FOLDER
  config.load_defaults "#{Rails::VERSION::MAJOR}.#{Rails::VERSION::MINOR}"
  config.eager_load = false
  config.logger = Logger.new(nil)
  config.secret_key_base = "not a secret: nothing is signed"
  config.active_storage.service_configurations = {"local" => {"service" => "Disk", "root" => "#{FOLDER}/storage"}}
  config.active_storage.service = :local
end
App.initialize!

class User < ActiveRecord::Base
  has_kms_key
  has_one_attached :license
  has_many_attached :documents
  has_one_attached :avatar
  encrypts_attached :license, :documents, key: :kms_key
  encrypts_attached :avatar
end

files = ActiveStorage::Attachment.where(record_type: "User").order(:id).to_h do |attachment|
  name = [attachment.record_id, attachment.name, attachment.blob[:filename]].join("/")
  [name, Digest::SHA256.hexdigest(attachment.download)]
end
puts JSON.generate(files)
